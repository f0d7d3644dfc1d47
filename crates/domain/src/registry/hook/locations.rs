//! Where the image of a release is: its bytes never change, the place where they are may.

use time::OffsetDateTime;

use crate::data::activity::Actor;

/// Maximum number of locations of one release.
pub const MAX_LOCATIONS: u32 = 1000;

/// A location of a release's image: a registry reference, or `file:<path>` for the process runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLocation {
    /// The location.
    pub image: String,
    /// Who registered it.
    pub by: Actor,
    /// Time of the registration by the database's clock; never before that of the previous location.
    pub at: OffsetDateTime,
}

/// The locations of a release's image, in the order of their registration and numbered 1, 2, 3, ... without gaps. The
/// first is the one that it was released with; the last is in use. There is always one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations {
    first: ImageLocation,
    later: Vec<ImageLocation>,
}

impl Locations {
    /// Creates the locations of a release that was never relocated.
    pub const fn new(first: ImageLocation) -> Self {
        Self {
            first,
            later: Vec::new(),
        }
    }

    /// Adds the next location, which is in use from now on.
    pub fn push(&mut self, next: ImageLocation) {
        self.later.push(next);
    }

    /// Returns the location that is in use.
    pub fn in_use(&self) -> &ImageLocation {
        self.later.last().unwrap_or(&self.first)
    }

    /// Returns the number of the location that is in use.
    pub fn number(&self) -> u32 {
        u32::try_from(self.later.len()).map_or(u32::MAX, |later| later.saturating_add(1))
    }

    /// Returns the location with this number.
    pub fn get(&self, number: u32) -> Option<&ImageLocation> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.all().nth(index)
    }

    /// Returns whether registering this image adds a location: every image does, except the one in use. An image that
    /// was in use before is a new location, too, because it becomes the newest.
    pub fn adds(&self, image: &str) -> bool {
        self.in_use().image != image
    }

    /// Returns whether no more can be added.
    pub fn is_full(&self) -> bool {
        self.number() >= MAX_LOCATIONS
    }

    /// Returns all of them, in order.
    pub fn all(&self) -> impl Iterator<Item = &ImageLocation> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// Returns the images of all of them, for a reader who may not see where files are.
    pub fn images_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let all = std::iter::once(&mut self.first).chain(&mut self.later);
        all.map(|location| &mut location.image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(image: &str, second: i64) -> ImageLocation {
        ImageLocation {
            image: image.to_owned(),
            by: Actor::System,
            at: OffsetDateTime::from_unix_timestamp(second).unwrap(),
        }
    }

    // proves REG-8
    #[test]
    fn the_newest_location_is_in_use_and_none_is_lost() {
        let mut locations = Locations::new(at("file:/a", 1));
        assert!(!locations.adds("file:/a") && locations.adds("file:/b"));
        assert_eq!((locations.number(), locations.in_use()), (1, &at("file:/a", 1)));
        locations.push(at("file:/b", 2));
        // Moving back is a location of its own.
        assert!(locations.adds("file:/a") && !locations.adds("file:/b"));
        locations.push(at("file:/a", 3));
        assert_eq!((locations.number(), locations.in_use()), (3, &at("file:/a", 3)));
        let images: Vec<&str> = locations.all().map(|l| l.image.as_str()).collect();
        assert_eq!(images, ["file:/a", "file:/b", "file:/a"]);
        assert_eq!(locations.get(2), Some(&at("file:/b", 2)));
        assert_eq!((locations.get(0), locations.get(4)), (None, None));
    }

    #[test]
    fn a_release_has_at_most_so_many_locations() {
        let mut locations = Locations::new(at("0", 0));
        for n in 1..MAX_LOCATIONS {
            assert!(!locations.is_full());
            locations.push(at(&n.to_string(), 0));
        }
        assert!(locations.is_full());
        assert_eq!(locations.number(), MAX_LOCATIONS);
    }
}
