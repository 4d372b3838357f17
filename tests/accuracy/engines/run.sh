#!/usr/bin/env bash
# Run the accuracy workloads with other engines, in environments of their own, and print a line of JSON for each.
# Their licences (GPL, AGPL, LGPL, Commons Clause) keep them out of the project: nothing of it may import them.
#
#     tests/accuracy/engines/run.sh FOLDER [goog] [a] [b]
#
# FOLDER takes the environments (2 GB) and Google's bars, and may be deleted; without workloads: goog a b.
# PYTHON names another interpreter than python3.11. zipline and Nautilus want other versions than vectorbt does: two
# environments.
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
mkdir -p "${1:?usage: run.sh FOLDER [goog] [a] [b]}"
folder=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- goog a b

environment() { # name, packages
    local where=$folder/$1
    shift
    [ -x "$where/bin/python" ] || "${PYTHON:-python3.11}" -m venv "$where"
    [ -e "$where/.installed" ] || "$where/bin/python" -m pip install -q --prefer-binary "$@"
    touch "$where/.installed"
}

engine() { # environment, engine, workload, fill
    (cd "$project" && "$folder/$1/bin/python" -W ignore -m "tests.accuracy.engines.with_$2" "$3" "$4" --goog "$goog")
}

environment one backtesting==0.6.6 backtrader==1.9.78.123 bt==1.4.1 vectorbt==1.2.0
environment two nautilus_trader==1.221.0 zipline-reloaded==3.2.1 empyrical-reloaded==0.7.1
goog=$folder/GOOG.csv
# Only the data file of backtesting is used; its code is not run.
[ -e "$goog" ] || cp "$folder"/one/lib/python3*/site-packages/backtesting/test/GOOG.csv "$goog"

for workload in "$@"; do
    for fill in next_open same_close; do
        engine one backtrader "$workload" $fill
        engine one vectorbt "$workload" $fill
        engine two nautilus "$workload" $fill
    done
    engine one bt "$workload" same_close
    if [ "$workload" != a ]; then engine two zipline "$workload" next_close; fi
done
