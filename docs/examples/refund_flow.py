"""A refund that people have to approve only above a threshold.

`countersign submit '{"order": "1042", "amount": 250}' --parse --flow refund` submits one.
"""

from pocketflow import Flow, Node

from core.nodes import ReviewNode, run_key

THRESHOLD = 100


class Price(Node):
    """Works out what is owed."""

    name = "price"

    def post(self, shared, prep_res, exec_res):
        shared["amount"] = shared["task_input"]["amount"]


class Pay(Node):
    """Pays, once: whoever receives the key twice pays the first time only."""

    name = "pay"

    def post(self, shared, prep_res, exec_res):
        shared["final_result"] = {"paid": shared["amount"], "idempotency_key": run_key(shared)}


class Refuse(Node):
    name = "refuse"

    def post(self, shared, prep_res, exec_res):
        shared["told"] = f"Refused: {shared['feedback_comment']}"


def is_large(shared):
    return shared["amount"] > THRESHOLD


def show(shared):
    return {"order": shared["task_input"]["order"], "amount": shared["amount"]}


def apply(shared, answer):
    """What reviewers approve is what is paid, also where they changed the amount."""
    if answer.is_approved:
        shared["amount"] = answer.content["amount"]


def create_flow():
    price = Price()
    large = ReviewNode("large", when=is_large, show=show, apply=apply)
    price >> large
    large - "approved" >> Pay()
    large - "rejected" >> Refuse()
    return Flow(start=price)
