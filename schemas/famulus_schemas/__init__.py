"""The contract: wire structs, stream events, errors and port Protocols. Imports only msgspec."""
