#!/bin/sh
# Asks other people's validators about exports.
# usage: validate.sh DIR_WITH_VENVS EXPORT_DIR
#
# Validates every *.prov.json, every */ro-crate-metadata.json and every *.openlineage.ndjson below EXPORT_DIR, and ends
# with 1 at the first that is invalid. The Python environments are made below DIR_WITH_VENVS when they are missing, which
# needs PyPI; after that nothing needs a network. PYTHON names the Python to make them with (3.10 or newer).
# OPENLINEAGE_SPEC may name the spec/ of a checkout of OpenLineage; without it the schemas come from the official client.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
venvs=$(cd "$1" && pwd)
exports=$(cd "$2" && pwd)
python=${PYTHON:-python3}

# One environment a tool: roc-validator and prov want different versions of the same packages. The mark is written
# last, so that an environment that was left half made is made again.
environment() {
    name=$1
    shift
    mark="$venvs/$name/made-of-$(echo "$*" | cksum | cut -d' ' -f1)"
    [ -e "$mark" ] && return 0
    echo "making the environment $name: $*"
    rm -rf "${venvs:?}/$name"
    "$python" -m venv "$venvs/$name"
    "$venvs/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$mark"
}
environment prov prov==3.2.3
environment rocrate roc-validator==0.13.0 rocrate==0.15.0
environment openlineage 'jsonschema[format-nongpl]==4.26.0' openlineage-python==1.54.0

cache="$venvs/rocrate/http-cache"
if [ ! -e "$cache.primed" ]; then
    context=$("$venvs/rocrate/bin/python" -c 'import pathlib, rocrate; print(pathlib.Path(rocrate.__file__).parent / "data/ro-crate.jsonld")')
    "$venvs/rocrate/bin/python" "$here/prime_rocrate_cache.py" "$cache" "https://w3id.org/ro/crate/1.1/context=$context" >/dev/null
    touch "$cache.primed"
fi
spec=${OPENLINEAGE_SPEC:-"$venvs/openlineage/spec"}
if [ ! -e "$spec/OpenLineage.json" ]; then
    "$venvs/openlineage/bin/python" "$here/openlineage_spec.py" "$spec"
fi

list=$(mktemp)
said=$(mktemp)
trap 'rm -f "$list" "$said"' EXIT
find "$exports" -name '*.prov.json' -o -name ro-crate-metadata.json -o -name '*.openlineage.ndjson' | sort >"$list"
if [ ! -s "$list" ]; then
    echo "INVALID $exports: there is nothing to validate"
    exit 1
fi
while IFS= read -r file; do
    case $file in
        *.prov.json)
            set -- "$venvs/prov/bin/python" "$here/check_prov.py" "$file"
            ;;
        *.openlineage.ndjson)
            set -- "$venvs/openlineage/bin/python" "$here/check_openlineage.py" "$spec" "$file"
            ;;
        *)
            set -- "$venvs/rocrate/bin/rocrate-validator" -y validate --offline --cache-path "$cache" \
                -p process-run-crate-0.5 -l required --verbose --no-paging "$(dirname "$file")"
            ;;
    esac
    if "$@" >"$said" 2>&1; then
        echo "valid   ${file#"$exports"/}"
    else
        code=$?
        echo "INVALID ${file#"$exports"/} (exit $code):"
        cat "$said"
        exit 1
    fi
done <"$list"
echo "all $(wc -l <"$list") exports are valid"
