//! The profiles that a PC knows: the shipped ones, and those of a folder.
//!
//! A file of the folder whose `name` is known changes that profile; one with `extends = "…"` begins with a known profile and
//! has a new name; any other must be whole. Files are read in the order of their names. A wrong file is an error and never left
//! out in silence: the disk that it is for would be driven by other rules.

use std::path::{Path, PathBuf};

use super::{Profile, one_line};

/// Where a PC's own profiles lie if the configuration says nothing.
pub const DEFAULT_DIR: &str = crate::system::DEFAULT_PROFILES_DIR;
/// The most files that are read from the folder.
pub const FILES_MAX: usize = 64;
/// The longest file, bytes.
pub const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Compiled in, and installed by the package as examples.
const SHIPPED: [(&str, &str); 10] = [
    ("zc-converter.toml", include_str!("../../profiles/zc-converter.toml")),
    ("zc-bluetooth.toml", include_str!("../../profiles/zc-bluetooth.toml")),
    ("card-reader.toml", include_str!("../../profiles/card-reader.toml")),
    ("taxdisk-bot.toml", include_str!("../../profiles/taxdisk-bot.toml")),
    ("skserver.toml", include_str!("../../profiles/skserver.toml")),
    ("nisec-bridge.toml", include_str!("../../profiles/nisec-bridge.toml")),
    ("nisec-library.toml", include_str!("../../profiles/nisec-library.toml")),
    ("aisino-goldtax.toml", include_str!("../../profiles/aisino-goldtax.toml")),
    ("nisec-skp.toml", include_str!("../../profiles/nisec-skp.toml")),
    ("tax-ukey.toml", include_str!("../../profiles/tax-ukey.toml")),
];

/// Why the profiles cannot be used: which file, and what is wrong in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the profile {file} cannot be used: {what}")]
pub struct ProfileError {
    /// File, or folder.
    pub file: PathBuf,
    /// What is wrong, with line or key where it is known.
    pub what: String,
}

/// A set of profiles, unique by name, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiles {
    /// Each with the table that it was read from, for those that extend it.
    all: Vec<(Profile, toml::Table)>,
}

/// A good profile has no value that is a binary float, so equality is total.
impl Eq for Profiles {}

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles::shipped()
    }
}

impl Profiles {
    /// The shipped ones.
    pub fn shipped() -> Profiles {
        let mut profiles = Profiles { all: Vec::new() };
        for (file, text) in SHIPPED {
            profiles.add(Path::new(file), text).expect("the shipped profiles are good: a test reads each");
        }
        profiles
    }

    /// The shipped ones, extended and changed by the files `*.toml` of a folder. A folder that is not there changes nothing.
    ///
    /// # Errors
    /// The folder or a file cannot be read, or a profile is wrong.
    pub fn with_dir(dir: &Path) -> Result<Profiles, ProfileError> {
        let mut profiles = Profiles::shipped();
        let wrong = |file: &Path, what: String| ProfileError { file: file.to_owned(), what };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(profiles),
            Err(error) => return Err(wrong(dir, error.to_string())),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| wrong(dir, error.to_string()))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        if files.len() > FILES_MAX {
            return Err(wrong(dir, format!("there are {} files; at most {FILES_MAX} are read", files.len())));
        }
        files.sort();
        for file in files {
            let size = std::fs::metadata(&file).map_err(|error| wrong(&file, error.to_string()))?.len();
            if size > FILE_MAX_BYTES {
                return Err(wrong(&file, format!("it has {size} bytes; a profile has at most {FILE_MAX_BYTES}")));
            }
            let text = std::fs::read_to_string(&file).map_err(|error| wrong(&file, error.to_string()))?;
            profiles.add(&file, &text)?;
        }
        Ok(profiles)
    }

    /// Adds or changes one profile.
    fn add(&mut self, file: &Path, text: &str) -> Result<(), ProfileError> {
        let wrong = |what: String| ProfileError { file: file.to_owned(), what };
        let mut table: toml::Table = toml::from_str(text).map_err(|error| wrong(one_line(&error)))?;
        let Some(name) = table.get("name").and_then(toml::Value::as_str).map(str::to_owned) else {
            return Err(wrong("name is missing".into()));
        };
        let base = match table.remove("extends") {
            None => name.clone(),
            Some(toml::Value::String(base)) if self.find(&base).is_some() => base,
            Some(base) => return Err(wrong(format!("extends = {base}: there is no such profile before this one"))),
        };
        let known = self.all.iter().position(|(profile, _)| profile.name == base);
        let (profile, table) = match known {
            // Whole, and read from the text itself: errors then tell their line.
            None => (Profile::parse(text).map_err(wrong)?, table),
            Some(at) => {
                let merged = merge(self.all[at].1.clone(), table);
                let profile: Profile = merged.clone().try_into().map_err(|error| wrong(one_line(&error)))?;
                profile.check().map_err(wrong)?;
                (profile, merged)
            }
        };
        match self.all.iter_mut().find(|(known, _)| known.name == name) {
            Some(known) => *known = (profile, table),
            None => self.all.push((profile, table)),
        }
        Ok(())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.all.iter().map(|(profile, _)| profile)
    }

    /// The profile of this name.
    pub fn find(&self, name: &str) -> Option<&Profile> {
        self.iter().find(|profile| profile.name == name)
    }

    /// Names, for people.
    pub fn names(&self) -> String {
        self.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Values of the second replace those of the first; tables are merged key by key.
fn merge(mut below: toml::Table, above: toml::Table) -> toml::Table {
    for (key, value) in above {
        let value = match (below.remove(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => toml::Value::Table(merge(below, above)),
            (_, value) => value,
        };
        below.insert(key, value);
    }
    below
}
