"""The client of openapi-python-client, against a running server. `cargo xtask clients` makes hallmark_client and runs this."""

import io
import os
import unittest
from http import HTTPStatus
from typing import TypeVar

from hallmark_client import AuthenticatedClient
from hallmark_client.api.conventions import deploy_convention, get_convention, list_conventions
from hallmark_client.api.hooks import (
    create_hook_release,
    get_hook_release,
    list_hook_releases,
    list_hooks,
    set_live_release,
)
from hallmark_client.api.ingestions import list_ingestions, open_ingestion, push_records
from hallmark_client.models import (
    Cardinality,
    ColumnDef,
    DeployBody,
    DocsBlock,
    ExampleBlock,
    Feature,
    FieldCardinality,
    FieldDefinition,
    FieldType,
    FileRequirements,
    HookBlock,
    HookBlockConfig,
    IngestMode,
    JsonType,
    Limits,
    LiveBody,
    LiveSummary,
    NewReleaseBody,
    NewReleaseBodyConfig,
    OpenIngestionBody,
    Problem,
    ReleaseBlock,
    SchemaBlock,
)
from hallmark_client.types import File

URL = os.environ["HALLMARK_URL"]
HOOK = "python_hook"
IMAGE = "file:/nowhere/python_hook"
DIGEST = "sha256:" + "b" * 64

CONVENTION = DeployBody(
    title="Python client",
    description="What the generated Python client deploys.",
    file_requirements=FileRequirements(accepted_types=[], max_count=0),
    schema=SchemaBlock(
        id="python-client",
        version="1.0.0",
        fields=[
            FieldDefinition(
                name="mass", type_=FieldType.NUMBER, required=True, cardinality=FieldCardinality.EXACTLY_ONE
            )
        ],
    ),
    hooks=[
        HookBlock(
            name=HOOK,
            feature=Feature(
                cardinality=Cardinality.ONE,
                columns=[ColumnDef(name="heavy", json_type=JsonType.BOOLEAN, required=True)],
            ),
            config=HookBlockConfig.from_dict({"most": 1}),
            limits=Limits(timeout_seconds=60, memory="256m", cpu="1"),
            release=ReleaseBlock(image=IMAGE, digest=DIGEST, source_ref="git:0"),
        )
    ],
    docs=DocsBlock(
        purpose="To test the generated client.",
        example_questions=["Does it deploy?", "Does it read?", "Does it tell faults?"],
        examples=[ExampleBlock("Does it read?", "GET /api/v1/hooks", "It does.")],
    ),
)

T = TypeVar("T")


def good(answer: T | Problem | None) -> T:
    """The answer, which must be a good one."""
    assert answer is not None and not isinstance(answer, Problem), answer
    return answer


class ClientTest(unittest.TestCase):
    def setUp(self) -> None:
        self.lab = AuthenticatedClient(base_url=URL, token=os.environ["HALLMARK_TOKEN"])
        # The generator asks for a token also where the document says that none is needed; this one is sent as none.
        self.stranger = AuthenticatedClient(base_url=URL, token="", prefix="")
        for client in (self.lab, self.stranger):
            self.addCleanup(client.get_httpx_client().close)
        self.deployed = good(deploy_convention.sync(client=self.lab, body=CONVENTION, check=False))

    def test_a_lab_deploys_releases_rolls_back_and_reads(self) -> None:
        self.assertEqual(self.deployed.slug, "python-client")
        self.assertEqual(self.deployed.releases[0].version, 1)

        body = NewReleaseBody(
            image=IMAGE,
            digest=DIGEST,
            config=NewReleaseBodyConfig.from_dict({"most": 2}),
            source_ref="git:1",
        )
        made = create_hook_release.sync_detailed(HOOK, client=self.lab, body=body, check=False)
        self.assertEqual(made.status_code, HTTPStatus.CREATED)
        self.assertEqual(good(made.parsed).version, 2)
        again = create_hook_release.sync_detailed(HOOK, client=self.lab, body=body, check=False)
        self.assertEqual(again.status_code, HTTPStatus.OK)
        self.assertEqual(good(again.parsed).id, good(made.parsed).id)
        live = good(set_live_release.sync(HOOK, client=self.lab, body=LiveBody(version=1)))
        self.assertEqual(live.live_version, 1)

        conventions = good(list_conventions.sync(client=self.stranger))
        self.assertIn(self.deployed.slug, [item.id for item in conventions.items])
        read = good(get_convention.sync(self.deployed.slug, client=self.stranger))
        self.assertEqual(read.hooks, [HOOK])
        self.assertIsNone(read.ingester)
        hooks = good(list_hooks.sync(client=self.stranger))
        item = next(item for item in hooks.items if item.name == HOOK)
        assert isinstance(item.live_release, LiveSummary)
        self.assertEqual(item.live_release.version, 1)
        self.assertEqual(item.feature.columns[0].json_type, JsonType.BOOLEAN)
        history = good(list_hook_releases.sync(HOOK, client=self.stranger))
        self.assertEqual([release.version for release in history.releases], [2, 1])
        release = good(get_hook_release.sync(HOOK, "2", client=self.stranger))
        self.assertEqual(release.config.to_dict(), {"most": 2})
        self.assertFalse(release.live)

    def test_a_lab_pushes_records(self) -> None:
        run = OpenIngestionBody(convention_id=self.deployed.slug, mode=IngestMode.PUSH)
        opened = good(open_ingestion.sync(client=self.lab, body=run))
        lines = File(payload=io.BytesIO(b'{"source_id": "1", "metadata": {"mass": 3.5}}\n'))
        pushed = good(push_records.sync(opened.id, client=self.lab, body=lines))
        self.assertEqual(pushed.accepted, 1)

    def test_faults_are_problems(self) -> None:
        missing = get_convention.sync("no-such-convention", client=self.stranger)
        assert isinstance(missing, Problem)
        self.assertEqual(missing.status, HTTPStatus.NOT_FOUND)
        self.assertEqual(missing.detail, missing.message)
        refused = list_ingestions.sync(client=self.stranger)
        assert isinstance(refused, Problem)
        self.assertEqual(refused.status, HTTPStatus.UNAUTHORIZED)
        self.assertEqual(refused.code, "missing_token")


if __name__ == "__main__":
    unittest.main()
