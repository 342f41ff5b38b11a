"""What amqp_rpc_client.yaml asks with, and what amqp_rpc_server.yaml answers with."""

import json

from piped_amqp.rpc import RPCClientBase


class Calculator(RPCClientBase):
    """Asks whoever consumes from the queue `calculator`."""

    async def add(self, a, b):
        """The sum of two numbers, which may be texts."""
        question = json.dumps({"a": float(a), "b": float(b)}).encode()
        response = await self.call("calculator", question)
        return json.loads(response.body)


def factorise(number):
    """The prime factors of a number, in ascending order."""
    if not 1 <= number <= 10**9:
        raise ValueError(f"{number} is not between 1 and a thousand million")
    factors, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, number] if number > 1 else factors
