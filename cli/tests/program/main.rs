//! The program as scripts and people meet it: arguments in, status and text out.

mod configuration;
mod describing;
mod pinging;
mod program;
mod redis;
mod server;
mod servers;
mod stream_service;
mod streams;
mod usage;
