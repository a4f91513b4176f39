"""The account at Numerai, by GraphQL or through its MCP server: uploads, predictions, diagnostics."""

__all__ = ["account", "diagnostics", "graphql", "mcp", "predictions", "upload"]
