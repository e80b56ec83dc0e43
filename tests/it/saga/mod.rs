//! The saga of an invite under fire: at any two of its steps, on both stores, while others call the same people at other instances.
//!
//! No double ring, no stuck line, no lost call. What a store promises for each step alone is in `store_laws`.

/// Makes a test of each function of a ground, for each store.
macro_rules! on_each_store {
    ($($name:ident,)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::saga::ground::Ground::embedded()).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(ground) = $crate::saga::ground::Ground::redis().await else { return };
                super::$name(ground).await;
            })*
        }
    };
}
use on_each_store;

mod actors;
mod before;
mod crowd;
mod glare;
mod ground;
mod intruders;
mod retries;
mod scene;
mod storm;
mod table;
mod verdict;
