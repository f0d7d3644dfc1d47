"""Writes OpenLineage's schemas as SPEC_DIR for check_openlineage.py, from the official client (PyPI: openlineage-python).
usage: openlineage_spec.py SPEC_DIR

The project publishes the JSON schemas in its repository and on its site only; no package ships them. But the classes of
openlineage.client.generated are generated from them: name, version ($id), fields, types and which fields are required.
This turns them back. A checkout's spec/ says a little more (formats of some texts); validate.sh takes one if it is given."""
import enum, importlib, json, pathlib, pkgutil, sys, types, typing
import attr
import openlineage.client.generated as generated
from openlineage.client.generated import base

FORMATS = {"eventTime": "date-time", "runId": "uuid", "producer": "uri", "schemaURL": "uri", "_producer": "uri",
           "_schemaURL": "uri", "url": "uri", "uri": "uri", "nominalStartTime": "date-time", "nominalEndTime": "date-time"}
CORE = base.RunEvent._get_schema().split("#")[0]
SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def reference(cls, home):
    url = cls._get_schema() if "_get_schema" in vars(cls) else f"{home}#/$defs/{cls.__name__}"
    return {"$ref": url}


def schema_of(hint, home):
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        some = [schema_of(a, home) for a in args if a is not type(None)]
        return some[0] if len(some) == 1 else {"anyOf": some}
    if origin is list:
        return {"type": "array", "items": schema_of(args[0], home)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(args[1], home)}
    if hint in SCALARS:
        return {"type": SCALARS[hint]}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [e.value for e in hint]}
    if isinstance(hint, type) and attr.has(hint):
        return reference(hint, home)
    return {}


def definition(cls, home):
    hints = typing.get_type_hints(cls)
    properties, required = {}, []
    for field in attr.fields(cls):
        properties[field.name] = schema_of(hints[field.name], home)
        if field.name in FORMATS:
            properties[field.name]["format"] = FORMATS[field.name]
        if field.default is attr.NOTHING or field.name in ("producer", "schemaURL", "_producer", "_schemaURL"):
            required.append(field.name)
    return {"type": "object", "properties": properties, "required": required}


def main(out):
    (out / "facets").mkdir(parents=True, exist_ok=True)
    for info in pkgutil.iter_modules(generated.__path__):
        module = importlib.import_module(f"{generated.__name__}.{info.name}")
        classes = [c for c in vars(module).values() if attr.has(c) and c.__module__ == module.__name__]
        facets = [c for c in classes if "_get_schema" in vars(c) and issubclass(c, base.BaseFacet)]
        core = module is base
        if not core and not facets:
            continue
        home = CORE if core else facets[0]._get_schema().split("#")[0]
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": home,
                  "$defs": {c.__name__: definition(c, home) for c in classes}}
        if core:
            schema["$ref"] = "#/$defs/RunEvent"
            # An event without a type is a run event that says nothing; ours never are.
            schema["$defs"]["RunEvent"]["required"].append("eventType")
            path = out / "OpenLineage.json"
        else:
            # The name under which a facet stands in an event is its class's, in an odd spelling for some.
            names = {c.__name__: c.__name__ for c in facets}
            schema["properties"] = {key(name): {"$ref": f"#/$defs/{name}"} for name in names}
            path = out / "facets" / home.rsplit("/", 1)[1]
        path.write_text(json.dumps(schema, indent=1))


def key(name):
    for end in ("InputDatasetFacet", "OutputDatasetFacet", "DatasetFacet", "RunFacet", "JobFacet", "Facet"):
        if name.endswith(end):
            name = name[: -len(end)]
            break
    odd = {"Datasource": "dataSource", "ProcessingEngine": "processing_engine", "ParentRun": "parent", "SQL": "sql",
           "DatasetVersion": "version"}
    return odd.get(name, name[:1].lower() + name[1:])


main(pathlib.Path(sys.argv[1]))
