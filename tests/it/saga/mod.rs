//! The saga of an invite under fire: at any two of its steps, on both stores, while others call the same people at other instances.
//!
//! No double ring, no stuck line, no lost call. What a store promises for each step alone is in `store_laws`.

mod before;
mod ground;
mod intruders;
mod scene;
mod table;
mod verdict;
