"""Every command of the program at once, for tests that walk through them."""

from importlib import import_module

import typer

from numerai_ray.cli import commands

app = typer.Typer(name="numerai-ray")
app.callback()(lambda: None)
for _module in dict.fromkeys(module for module, _ in commands.COMMANDS.values()):
    import_module(f"{commands.__name__}.{_module}").register(app)
