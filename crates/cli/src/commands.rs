//! One file a command. Each takes its arguments and the output, and returns how it ended.

mod alerts;
mod alias;
mod blocks;
mod changes;
mod dead_letters;
mod deploy;
mod directories;
mod disable;
mod doctor;
mod effective;
mod explain;
mod graph;
mod init;
mod invoke;
mod list;
mod logs;
mod policy;
mod remove;
mod secret;
mod show;
mod stats;
mod told;
mod tx;
mod up;
mod versions;
mod watch;

pub(crate) use self::{
    alerts::run as alerts,
    alias::run as alias,
    blocks::run as blocks,
    changes::{Verb, flip, run as changes, settle, show_change},
    dead_letters::run as dead_letters,
    deploy::{replay, run as deploy},
    disable::{disable, enable},
    doctor::run as doctor,
    effective::{diff, export},
    explain::{promote, run as explain},
    graph::run as graph,
    init::named_after,
    init::run as init,
    invoke::run as invoke,
    list::run as list,
    logs::run as logs,
    policy::run as policy,
    remove::run as remove,
    secret::run as secret,
    stats::run as stats,
    tx::run as tx,
    up::run as up,
    versions::run as versions,
};
