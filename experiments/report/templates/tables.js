// Tables sort by a click on a heading: first the larger values, then the smaller ones; what is not defined stays last.
document.querySelectorAll("table").forEach((table) => {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const value = (row) => row.cells[column].dataset.sort;
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const numbers = x - y;
        return (down ? -1 : 1) * (Number.isNaN(numbers) ? x.localeCompare(y) : numbers);
      };
      [...body.rows].sort(compare).forEach((row) => body.append(row));
    });
  });
});
