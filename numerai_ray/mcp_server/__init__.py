"""Tools for agents: what the command line offers, as a server of the Model Context Protocol over stdio.

:mod:`numerai_ray.mcp_server.tools` is the table of tools: adding one is one entry. A tool is a command: it runs as a
process of its own and answers with that command's ``--json``, and its errors are that command's errors. So nothing
that a command loads or breaks reaches the server, and both say the same. :mod:`numerai_ray.mcp_server.server` speaks
the protocol; it alone imports the SDK (the extra ``mcp``).
"""

__all__ = ["server", "tools"]
