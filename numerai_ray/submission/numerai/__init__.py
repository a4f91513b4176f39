"""The account at Numerai, by GraphQL or through its MCP server: uploads, predictions, diagnostics, live rounds."""

__all__ = ["account", "diagnostics", "graphql", "live", "mcp", "predictions", "record", "upload"]
