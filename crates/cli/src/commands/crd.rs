//! `vertskommune crd`: the CustomResourceDefinitions.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use vertskommune_api::crds::{crd_yaml, crds};

use crate::exit::Exit;
use crate::output;

/// Writes the CustomResourceDefinitions as YAML, for `kubectl apply --server-side -f -`
#[derive(Args)]
pub(crate) struct Crd {
    /// Write a file for each kind into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Crd {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let mut all = Vec::new();
        for crd in crds() {
            all.push((format!("{}.yaml", crd.spec.names.plural), crd_yaml(&crd)?));
        }
        let Some(dir) = &self.dir else {
            let texts: Vec<_> = all.into_iter().map(|(_, text)| text).collect();
            output::write(|out| out.write_all(texts.join("---\n").as_bytes()))?;
            return Ok(Exit::Success);
        };
        fs::create_dir_all(dir).with_context(|| format!("the folder {} cannot be made", dir.display()))?;
        for (file, text) in all {
            let path = dir.join(file);
            fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
            output::note(path.display());
        }
        Ok(Exit::Success)
    }
}
