//! Who comes in where: docs/SECURITY-MODEL.md against a gateway, keys that change, and what strangers can tell.

mod callers;
mod rotation;
mod scene;
mod strangers;
mod table;
mod walk;
