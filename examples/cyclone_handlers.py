"""The request handlers of cyclone.yaml: those of Tornado's documents, with pipelines and contexts at hand."""

import json

from tornado import template, websocket

from piped_cyclone.handlers import DebuggableHandler

PAGE = template.Template("""<!doctype html>
<html lang="en">
<title>Notes</title>
<h1>Notes of {{ author }}</h1>
<ul>{% for text in texts %}<li>{{ text }}</li>{% end %}</ul>
<form method="post">{% raw xsrf %}<input name="text" aria-label="Note" required> <button>Keep it</button></form>
</html>
""")


class Notes(DebuggableHandler):
    """Shows the notes, and takes another one."""

    @property
    def texts(self):
        return self.settings["piped_dependencies"].notes["texts"]

    def get(self):
        author = self.get_signed_cookie("author")
        if author is None:
            self.set_signed_cookie("author", "somebody")
        self.write(PAGE.generate(texts=self.texts, author=author or "a newcomer", xsrf=self.xsrf_form_html()))

    def post(self):
        self.texts.append(self.get_body_argument("text"))
        Live.tell(self.texts[-1])
        self.redirect("/")


class Export(Notes):
    """All notes for other programs."""

    def initialize(self, indent):
        self.indent = indent

    def get(self):
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({"texts": self.texts}, indent=self.indent))


class Average(Notes):
    """How many words a note has."""

    async def get(self):
        count = self.settings["piped_dependencies"].count
        words = 0
        for text in self.texts:
            [baton] = await count({"text": text})  # a pipeline gives a Deferred, which is awaited like anything else
            words += baton["words"]
        self.write({"average": words / len(self.texts)})


class Live(websocket.WebSocketHandler):
    """Tells of each new note at once."""

    listeners = set()

    def open(self):
        self.listeners.add(self)

    def on_close(self):
        self.listeners.discard(self)

    @classmethod
    def tell(cls, text):
        for listener in cls.listeners:
            listener.write_message({"note": text})
