"""Two reviews in sequence, each of which may send the article back or edit it."""

from pocketflow import Flow, Node

from core.nodes import ReviewNode


class Write(Node):
    name = "write"

    def post(self, shared, prep_res, exec_res):
        told = shared["feedback_comment"]
        shared["processed_output"] = shared["task_input"] + (f"\n\n(Revised: {told})" if told else "")


class Publish(Node):
    name = "publish"

    def post(self, shared, prep_res, exec_res):
        shared["final_result"] = shared["processed_output"].strip() + "\n\n— published"


def create_flow():
    write, style, legal = Write(), ReviewNode("style"), ReviewNode("legal", policy="lawyers")
    write >> style
    style - "approved" >> legal
    style - "rejected" >> write
    legal - "approved" >> Publish()
    legal - "rejected" >> write
    return Flow(start=write)
