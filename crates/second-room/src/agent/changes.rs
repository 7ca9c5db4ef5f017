//! What was changed so far.

/// Counts changes. Every one is told immediately before it is made.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    made: u32,
    #[cfg(feature = "testing")]
    dies_at: Option<u32>,
}

impl Changes {
    /// Ends the program before the change of that number, counted from 1.
    #[cfg(feature = "testing")]
    pub(crate) fn dying_at(dies_at: Option<u32>) -> Self {
        Self { made: 0, dies_at }
    }

    /// The next change is about to be made.
    pub(crate) fn next(&mut self) {
        self.made += 1;
        #[cfg(feature = "testing")]
        if self.dies_at == Some(self.made) {
            std::process::abort();
        }
    }

    /// Whether anything was changed.
    pub(crate) fn any(&self) -> bool {
        self.made > 0
    }
}
