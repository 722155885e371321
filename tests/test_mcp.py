"""The public API as MCP tools, with the client that the protocol's own package brings."""

import asyncio

import pytest

from space.catalog import read_catalog
from space.server import build

mcp = pytest.importorskip("mcp", reason="the extra gradio[mcp] is not installed")


def test_the_public_api_is_offered_as_tools():
    from mcp.client.streamable_http import streamablehttp_client

    server = build()
    server.launch(prevent_thread_lock=True, quiet=True, run_history=False, mcp_server=True)
    address = f"{server.get_blocks().local_url}gradio_api/mcp/"
    name = read_catalog()["digits"].models[0].name

    async def visit():
        async with streamablehttp_client(address) as (read, write, _), mcp.ClientSession(read, write) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, await session.call_tool("compare", {"dataset": "digits", "label": "3", "n": 1})

    try:
        tools, answer = asyncio.run(visit())
    finally:
        server.get_blocks().close(verbose=False)
    assert {"compare", "interpolate", "reconstruct"} <= {tool.name for tool in tools}
    assert not {"view", "deal", "inside", "closer"} & {tool.name for tool in tools}
    assert all(len(tool.description) > 60 for tool in tools)
    assert not answer.isError
    assert name in answer.content[0].text
    assert "data:image/png;base64," in answer.content[0].text
