"""A review before a side effect, in a flow that knows nothing of reviews.

`interrupt_before = ["deploy"]` in countersign.toml is what asks.
"""

from pocketflow import AsyncFlow, AsyncNode, Node

from core.nodes import progress


class Build(Node):
    name = "build"

    def exec(self, prep_res):
        for part in range(4):
            progress((part + 1) / 4, f"part {part + 1} of 4")
        return "build-7"

    def post(self, shared, prep_res, exec_res):
        shared["build"] = exec_res


class Deploy(AsyncNode):
    name = "deploy"

    async def post_async(self, shared, prep_res, exec_res):
        shared["final_result"] = f"{shared['build']} is deployed for {shared['task_input']}"


def create_flow():
    build = Build()
    build >> Deploy()
    return AsyncFlow(start=build)
