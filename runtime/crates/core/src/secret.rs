//! Values that nobody may see: no `Debug`, no `Display`, no `Serialize`, and wiped when they go.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret. It is read through [`Secret::expose`] alone, so that a search for that word finds every place where one is used.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "what cannot be printed cannot be logged")]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> ZeroizeOnDrop for Secret<T> {}

impl From<String> for Secret<String> {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}
