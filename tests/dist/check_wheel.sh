#!/usr/bin/env bash
# check_wheel.sh WHEEL: what the wheel holds, then the wheel in an empty environment and an empty folder, without the repository.
# PYTHON names the interpreter; KEEP=FOLDER keeps the environment there for a second run.
set -euo pipefail
wheel=$(realpath "$1")
constraints=$(realpath "$(dirname "$0")/../../constraints.txt")
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
environment=${KEEP:-$folder/environment}

fail() { echo "check_wheel: $*" >&2; exit 1; }

echo "== what the wheel holds"
"$python" - "$wheel" <<'PY'
import re, sys, zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
kinds = re.compile(r"\.(py|yaml|html|css|js|txt)$|py\.typed$|^samplers/README\.md$|\.dist-info/")
rooms = re.compile(r"^(qbmvae|samplers|experiments)/|^qbmvae-[^/]+\.dist-info/")
strange = [name for name in names if not rooms.search(name) or not kinds.search(name) or "/tests/" in name]
assert not strange, f"data, tests or pictures in the wheel: {strange}"
needed = {
    "experiments/configs/paper.yaml", "experiments/report/templates/page.html", "experiments/report/assets/plotly-basic.min.js",
    "samplers/remote/machines.yaml", "qbmvae/py.typed", "samplers/py.typed", "experiments/py.typed",
}
assert needed <= set(names), f"not in the wheel: {needed - set(names)}"
print(f"{len(names)} files, nothing strange")
PY

echo "== installation into an empty environment"
if [ ! -x "$environment/bin/qbmvae" ]; then
  "$python" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --upgrade pip
  # the CPU build of torch where there is one: plain torch brings gigabytes of CUDA
  "$environment/bin/python" -m pip install --quiet --retries 0 --timeout 10 --constraint "$constraints" torch --index-url https://download.pytorch.org/whl/cpu ||
    "$environment/bin/python" -m pip install --quiet --constraint "$constraints" torch
fi
"$environment/bin/python" -m pip install --quiet --constraint "$constraints" "$wheel"
"$environment/bin/python" -m pip install --quiet --no-deps --force-reinstall "$wheel"
"$environment/bin/python" -m pip check

mkdir "$folder/empty" && cd "$folder/empty"
unset PYTHONPATH
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 MPLBACKEND=Agg PATH="$environment/bin:$PATH"

echo "== the command without the repository"
python - <<'PY'
import experiments, qbmvae, samplers

for package in (qbmvae, samplers, experiments):
    assert "site-packages" in package.__file__, package.__file__
PY
version=$(basename "$wheel" | cut -d- -f2)
[ "$(qbmvae --version)" = "$version" ] || fail "qbmvae --version says $(qbmvae --version), the wheel is $version"
qbmvae compare paper --help > help.txt
grep -q -- --models help.txt || fail "qbmvae compare paper --help shows no options"
qbmvae samplers list > list.txt
grep -q persistent list.txt || fail "qbmvae samplers list names no persistent sampler"
qbmvae simulate paper-notebook --out sim.h5ad --n-cells 150 --seed 0 --quiet
qbmvae train sim.h5ad --batch-key condition --max-epochs 3 --seed 0 --out run1 --quiet
qbmvae embed run1 sim.h5ad --out emb.h5ad --quiet
qbmvae generate run1 --n-cells 20 --out synthetic.h5ad --quiet
qbmvae evaluate run1 sim.h5ad --label-key cell_type --out eval1 --quiet
qbmvae samplers check gibbs --out check1 --quiet > verdict.txt
qbmvae compare sim.h5ad --batch-key condition --label-key cell_type --models qbmvae,pca --set max_epochs=2 --set 'seeds=[0]' --out cmp --quiet
for file in run1/report.html emb.h5ad synthetic.h5ad eval1/metrics.json eval1/report.html cmp/report.html; do
  [ -s "$file" ] || fail "$file was not written"
done

echo "== what is missing is named"
if qbmvae compare sim.h5ad --batch-key condition --label-key cell_type --models harmony --out cmp2 --quiet 2> missing.txt; then
  python -c "import harmonypy" || fail "Harmony ran without its package"
elif ! grep -q 'qbmvae\[experiments\]' missing.txt; then
  cat missing.txt >&2; fail "the error does not name the extra 'experiments'"
fi
echo "the wheel works without the repository"
