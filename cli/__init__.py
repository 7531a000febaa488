"""The `retint` command."""
