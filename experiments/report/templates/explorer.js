// Embeddings: one panel for each, coloured alike; a lasso selects the same cells in all of them.
document.documentElement.classList.add("live");
document.querySelectorAll(".explorer").forEach((box) => {
  const data = JSON.parse(box.querySelector("script").textContent);
  const plot = box.querySelector(".plot");
  const tools = box.querySelector(".tools");
  const models = Object.keys(data.planes);
  const n = data.names.length;
  const size = Math.max(3, Math.min(7, 260 / Math.sqrt(n)));
  let chosen = [];
  let drawing = false;

  const colour = document.createElement("select");
  colour.setAttribute("aria-label", "colour by");
  for (const [kind, entries] of [["annotations", data.obs], ["genes", data.genes]]) {
    const group = document.createElement("optgroup");
    group.label = kind;
    for (const name of Object.keys(entries)) group.append(new Option(name, `${kind}:${name}`));
    if (group.children.length) colour.append(group);
  }
  const label = document.createElement("label");
  label.append("Colour by ", colour);
  const count = document.createElement("span");
  count.className = "chosen";
  const save = document.createElement("button");
  save.type = "button";
  save.textContent = "Download the selected cells";
  save.hidden = true;
  tools.append(label, count, save);
  const hint = "Hover names a cell, a click in the legend hides a group, the lasso selects cells.";
  count.textContent = hint;

  // a copy of typed lists for each trace: the cells of a group, or all cells of a number
  const groups = () => {
    const [kind, name] = [colour.value.split(":")[0], colour.value.slice(colour.value.indexOf(":") + 1)];
    const column = kind === "genes" ? { values: data.genes[name] } : data.obs[name];
    if (!column) return [{ name: "cells", rows: [...Array(n).keys()], colour: "#1f6f8b", text: () => "" }];
    if (column.codes) {
      const rows = column.names.map(() => []);
      column.codes.forEach((code, i) => rows[code].push(i));
      return column.names.map((group, i) => ({
        name: group, rows: rows[i], colour: data.colours[i % data.colours.length], text: () => `${name}: ${group}`,
      }));
    }
    const known = [], unknown = [];
    column.values.forEach((v, i) => (v === null ? unknown : known).push(i));
    const shown = { name, rows: known, values: known.map((i) => column.values[i]), text: (i) => `${name}: ${column.values[i]}` };
    const none = { name: "no value", rows: unknown, colour: "#cccccc", text: () => `${name}: no value` };
    return unknown.length ? [none, shown] : [shown];
  };

  const draw = () => {
    const width = plot.clientWidth;
    const narrow = width < 620;
    // as many columns as fit, then as few as keep the same number of rows
    const rows = Math.ceil(models.length / Math.max(1, Math.floor(width / 320)));
    const columns = Math.ceil(models.length / rows);
    const traces = [];
    const parts = groups();
    const marked = new Set(chosen);
    models.forEach((model, m) => {
      const [x, y] = data.planes[model];
      const axis = m ? String(m + 1) : "";
      parts.forEach((part) => {
        const scale = part.values && {
          color: part.values, colorscale: "Viridis", showscale: m === 0, colorbar: { thickness: 12, len: 0.8, title: { text: part.name } },
        };
        traces.push({
          type: "scatter", mode: "markers", name: part.name, legendgroup: part.name, showlegend: m === 0 && !part.values,
          x: part.rows.map((i) => x[i]), y: part.rows.map((i) => y[i]), xaxis: `x${axis}`, yaxis: `y${axis}`,
          customdata: part.rows, text: part.rows.map((i) => `${data.names[i]}<br>${part.text(i)}`),
          hovertemplate: "%{text}<extra></extra>", marker: { size, opacity: 0.85, ...(scale || { color: part.colour }) },
          selectedpoints: marked.size ? part.rows.flatMap((i, k) => (marked.has(i) ? [k] : [])) : undefined,
          unselected: { marker: { opacity: 0.12 } },
        });
      });
    });
    const layout = {
      height: rows * (narrow ? Math.min(width, 380) : Math.max(300, Math.min(460, width / columns - 40))) + (narrow ? 68 + 22 * Math.ceil(parts.length / 2) : 30),
      margin: { l: 8, r: 8, t: narrow ? 56 : 28, b: 8 }, hovermode: "closest", dragmode: narrow ? false : "lasso",
      paper_bgcolor: "#fff", plot_bgcolor: "#fff", showlegend: parts.length > 1 || !parts[0].values,
      legend: narrow ? { orientation: "h", y: -0.02, yanchor: "top", itemsizing: "constant" } : { itemsizing: "constant" },
      annotations: [],
    };
    models.forEach((model, m) => {
      const [r, c] = [Math.floor(m / columns), m % columns];
      const axis = m ? String(m + 1) : "";
      const across = [c / columns + 0.005, (c + 1) / columns - 0.005];
      const up = [1 - (r + 1) / rows + 0.01, 1 - r / rows - (rows > 1 ? 0.06 : 0.01)];
      const bare = { showgrid: false, zeroline: false, showticklabels: false, ticks: "", linecolor: "#dde3ea", mirror: true };
      layout[`xaxis${axis}`] = { ...bare, domain: across, anchor: `y${axis}` };
      layout[`yaxis${axis}`] = { ...bare, domain: up, anchor: `x${axis}` };
      layout.annotations.push({
        text: model, showarrow: false, xref: "paper", yref: "paper", x: (across[0] + across[1]) / 2, y: up[1], yanchor: "bottom", font: { size: 14 },
      });
    });
    drawing = true;
    Plotly.react(plot, traces, layout, {
      responsive: true, displaylogo: false, displayModeBar: true, scrollZoom: false, modeBarButtons: [["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    }).then(() => { drawing = false; });
  };

  const choose = (rows) => {
    // a redraw reports the end of the selection that it was made for
    if (drawing) return;
    chosen = [...new Set(rows)].sort((a, b) => a - b);
    save.hidden = !chosen.length;
    count.textContent = chosen.length ? `${chosen.length.toLocaleString("en")} cells selected` : hint;
    draw();
  };
  draw();
  plot.on("plotly_selected", (event) => choose(event ? event.points.map((p) => p.customdata) : []));
  plot.on("plotly_deselect", () => choose([]));
  colour.addEventListener("change", draw);
  let width = plot.clientWidth;
  window.addEventListener("resize", () => { if (plot.clientWidth !== width) { width = plot.clientWidth; draw(); } });
  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([chosen.map((i) => data.names[i]).join("\n") + "\n"], { type: "text/plain" }));
    link.download = "cells.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  });
});
