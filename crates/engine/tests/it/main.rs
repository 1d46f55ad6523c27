//! The engine through its public surface, with the real engine image.

mod building;
mod clock;
mod commonjs;
mod forking;
mod globals;
mod isolation;
mod limits;
mod running;
mod support;
mod thrown;
mod woven;
