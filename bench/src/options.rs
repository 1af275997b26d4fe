//! What the command line asks for besides the names of sections.

use std::path::PathBuf;

use crate::Result;
use crate::peers::Kind;

/// `--quick`, `--rounds N`, `--clients N,N`, `--servers A,B`, `--out FILE`, `--plots FOLDER`.
pub struct Options {
    /// Only see whether everything runs.
    pub quick: bool,
    pub rounds: Option<usize>,
    pub clients: Option<Vec<usize>>,
    pub servers: Vec<Kind>,
    /// Where the Markdown goes as well.
    pub out: Option<PathBuf>,
    /// Where the plots go, if not to docs/benchmarks.
    pub plots: Option<PathBuf>,
}

impl Options {
    /// The names, and the options.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<(Vec<String>, Self)> {
        let mut names = Vec::new();
        let mut options = Self {
            quick: false,
            rounds: None,
            clients: None,
            servers: Kind::ALL.to_vec(),
            out: None,
            plots: None,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--rounds" => options.rounds = Some(number(&value()?)?),
                "--clients" => {
                    options.clients = Some(value()?.split(',').map(number).collect::<Result<_>>()?);
                }
                "--servers" => {
                    options.servers = value()?.split(',').map(kind).collect::<Result<_>>()?;
                }
                "--out" => options.out = Some(value()?.into()),
                "--plots" => options.plots = Some(value()?.into()),
                other if other.starts_with('-') => return Err(format!("{other}: no such option")),
                _ => names.push(argument),
            }
        }
        Ok((names, options))
    }

    /// How often everything is measured, in turns.
    pub fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { usual })
    }

    /// With how many clients, as far as open files allow; a quick run has few.
    pub fn clients(&self, usual: &[usize], limit: usize) -> Vec<usize> {
        let mut counts = match &self.clients {
            Some(counts) => counts.clone(),
            None if self.quick => vec![20],
            None => usual.to_vec(),
        };
        counts.retain(|count| *count <= limit);
        counts
    }

    /// A quick run does a hundredth.
    pub fn scaled(&self, usual: usize) -> usize {
        if self.quick {
            (usual / 100).max(4)
        } else {
            usual
        }
    }
}

fn number(text: &str) -> Result<usize> {
    text.replace([',', '_'], "")
        .parse()
        .map_err(|_| format!("{text}: no number"))
}

fn kind(word: &str) -> Result<Kind> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.word() == word)
        .ok_or_else(|| format!("{word}: one of raw, callboard, socketioxide, socket.io"))
}
