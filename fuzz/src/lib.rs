//! What the fuzz targets share: tokens that are signed as the input has it (`signed`), a gateway to ask (`door`), and what must never be
//! told (`told`).

pub mod door;
pub mod signed;
pub mod told;
