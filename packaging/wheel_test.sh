#!/usr/bin/env bash
# Build wheel and sdist, install each into an empty environment as a user would, and train with it away from the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/build"
"$work/build/bin/pip" install -q build
git archive HEAD | tar -x -C "$work" --one-top-level=source  # what is committed, and nothing that lies about
"$work/build/bin/python" -m build -q --outdir "$work/dist" "$work/source"

for package in "$work"/dist/*.whl "$work"/dist/*.tar.gz; do
    echo "== $(basename "$package")"
    environment="$work/environment"
    rm -rf "$environment" "$work/run"
    "$python" -m venv "$environment"
    pip="$environment/bin/pip install -q -c $PWD/constraints.txt"
    $pip torch==2.13.0
    $pip "$package"
    $pip --no-deps recbole==1.2.1
    mkdir "$work/run"
    (
        cd "$work/run"
        "$environment/bin/recbole-mm" run --model=MHCR --epochs=1
        "$environment/bin/recbole-mm" inspect ml-100k > /dev/null
        "$environment/bin/recbole-mm" recommend saved/MHCR-* --k=5 --out=lists.csv
        "$environment/bin/python" -c "
import importlib.metadata, pathlib, recbole_mm
assert pathlib.Path(recbole_mm.__file__).is_relative_to('$environment'), recbole_mm.__file__
assert importlib.metadata.version('recbole-mm')
assert pathlib.Path(recbole_mm.__file__).with_name('py.typed').is_file()"
    )
done
echo "wheel and sdist install, train and recommend"
