"""Status tests of examples/status_tests.yaml: they ask the running site what its visitors would."""
# ruff: noqa: PT009 - unlike `assert`, unittest's assertions tell what was there

from twisted.web.client import Agent, readBody

from piped_status_testing.statustest import StatusTestCase


class Greeting(StatusTestCase):
    """The page itself, over HTTP."""

    def setUp(self, path):
        [site] = self.runtime_environment.listeners.members
        self.url = (site.address + path).encode()

    async def statustest_greets_by_name(self):
        """A visitor who tells a name is greeted by it."""
        response = await Agent(self.runtime_environment.reactor).request(b"GET", self.url + b"?name=Ada")
        self.assertEqual(response.code, 200)
        self.assertEqual(await readBody(response), b"Hello, Ada.")


class Names(StatusTestCase):
    """What the page stands on, asked directly: `dependencies` in the configuration names it."""

    async def statustest_a_stranger_has_a_name(self):
        """Who tells no name gets one."""
        [baton] = await self.dependencies.naming({})
        self.assertEqual(baton["name"], self.dependencies.defaults["name"])
