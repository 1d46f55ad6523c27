//! Databases: both engines through the public surface, against real SQLite files and a real PostgreSQL server.

mod functions;
mod postgres;
mod refusals;
mod sqlite;
mod transactions;
mod unknown;
mod world;
