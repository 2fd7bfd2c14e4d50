//! What tests need instead of the outside world: simulated time, fixed randomness, a plugin that does as it is told, a journal that crashes,
//! a catalog from a list, and ready-made definitions. For tests only.
//!
//! Nothing here stands in for a part of Flowcell that can be used itself: stores come from `flowcell-store`.

pub mod catalog;
pub mod clock;
pub mod entropy;
pub mod invoker;
pub mod journal;
pub mod sample;

pub use catalog::StaticCatalog;
pub use clock::SimClock;
pub use entropy::SeededEntropy;
pub use invoker::{Answer, Call, FakeInvoker};
pub use journal::{CrashPoint, FaultyJournal};
