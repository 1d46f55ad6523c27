//! The server as its users meet it: a real one on a directory of its own, called over HTTP.

#![allow(
    clippy::unwrap_used,
    reason = "what a test does not expect is to stop it, in its support code too"
)]

mod changes;
mod changes_live;
mod changes_load;
mod changes_old;
mod changes_store;
mod changes_support;
mod changes_tags;
mod changes_taken;
mod child;
mod control_abort;
mod control_api;
mod control_guard;
mod control_openapi;
mod control_start;
mod data_events;
mod data_failures;
mod data_lambda;
mod data_load;
mod data_sdk;
mod data_support;
mod data_telemetry;
mod data_trigger;
mod deploy_build;
mod deploy_crash;
mod deploy_memory;
mod deploy_pieces;
mod deploy_tags;
mod deploy_versions;
mod differential;
mod support;
mod tapes;
mod transactions;
mod transactions_faults;
mod transactions_support;
mod trial;
mod trial_impact;
mod trial_store;
mod trial_support;
mod webhooks;
