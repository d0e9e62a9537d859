//! Places new containers among those of the pod.
//!
//! Invariant: the pod's own containers keep their order.

use super::{Edit, PlacedContainer};
use crate::inject::pod::{ContainerList, PodDocument};
use crate::inject::template::spec::Order;
use crate::inject::text::json::text;
use crate::inject::text::json_writer::FieldTexts;
use crate::inject::text::pointer::Pointer;
use serde_json::Value;
use std::sync::Arc;

/// The positions of the pod's containers and of new ones.
pub(super) struct Placement<'a> {
    /// Name, list and position of each container; ephemeral containers have only a name. It is
    /// searched once for each container that a template adds.
    names: Vec<(&'a str, Option<(ContainerList, usize)>)>,
    init_containers: Arrangement<'a>,
    containers: Arrangement<'a>,
}

/// One list under construction.
struct Arrangement<'a> {
    list: ContainerList,
    first: Vec<NewContainer>,
    /// The pod's own containers by name, and new ones before and after them.
    middle: Vec<Placed<'a>>,
    last: Vec<NewContainer>,
}

enum Placed<'a> {
    Own(&'a str),
    /// A new container after the pod's container of this name.
    New(Option<&'a str>, NewContainer),
}

/// A container that a template adds.
pub(super) struct NewContainer {
    /// Position of the template among the candidates.
    pub(super) candidate: usize,
    pub(super) container: Value,
    /// Fields of the container that are the same for every pod.
    pub(super) texts: Option<Arc<FieldTexts>>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(pod: &'a PodDocument) -> Self {
        let mut names = Vec::new();
        for list in [ContainerList::Containers, ContainerList::InitContainers] {
            let of_list = pod.containers(list).iter().enumerate();
            names.extend(of_list.map(|(index, container)| (text(container, "name"), Some((list, index)))));
        }
        names.extend(pod.spec_items("ephemeralContainers").iter().map(|container| (text(container, "name"), None)));
        let arrangement = |list| Arrangement::new(list, pod);
        Self {
            names,
            init_containers: arrangement(ContainerList::InitContainers),
            containers: arrangement(ContainerList::Containers),
        }
    }

    /// The pod's container of this name: its list and position, which an ephemeral container does
    /// not have.
    pub(super) fn find(&self, name: &str) -> Option<Option<(ContainerList, usize)>> {
        self.names.iter().rev().find(|(own, _)| *own == name).map(|(_, position)| *position)
    }

    /// Places a new container. If the pod does not have the container that the order names, the new
    /// one gets the default position, and that name is returned.
    pub(super) fn add<'o>(&mut self, list: ContainerList, order: &'o Order, new: NewContainer) -> Option<&'o str> {
        let arrangement = match list {
            ContainerList::Containers => &mut self.containers,
            ContainerList::InitContainers => &mut self.init_containers,
        };
        match order {
            Order::First => arrangement.first.push(new),
            Order::Last => arrangement.last.push(new),
            Order::Before(name) | Order::After(name) => match (arrangement.own(name), order) {
                (Some(position), Order::Before(_)) => arrangement.before(position, new),
                (Some(position), _) => arrangement.after(position, new),
                (None, _) => {
                    match list {
                        ContainerList::Containers => arrangement.last.push(new),
                        ContainerList::InitContainers => arrangement.first.push(new),
                    }
                    return Some(name);
                }
            },
        }
        None
    }

    /// All new containers.
    pub(super) fn new_containers(&self) -> impl Iterator<Item = (ContainerList, &NewContainer)> {
        let lists = [&self.init_containers, &self.containers].into_iter();
        lists.flat_map(|arrangement| arrangement.new_containers().map(|new| (arrangement.list, new)))
    }

    /// The containers of a list as they will stand: `None` for the next one of the pod's own.
    pub(super) fn arranged(&self, list: ContainerList) -> impl Iterator<Item = Option<&NewContainer>> {
        let arrangement = match list {
            ContainerList::Containers => &self.containers,
            ContainerList::InitContainers => &self.init_containers,
        };
        let middle = arrangement.middle.iter().map(|placed| match placed {
            Placed::Own(_) => None,
            Placed::New(_, new) => Some(new),
        });
        arrangement.first.iter().map(Some).chain(middle).chain(arrangement.last.iter().map(Some))
    }

    pub(super) fn new_containers_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let lists = [&mut self.init_containers, &mut self.containers].into_iter();
        lists.flat_map(Arrangement::new_containers_mut)
    }

    /// Insertions in the order in which they must be applied.
    pub(super) fn arrange(&mut self) -> impl Iterator<Item = Edit> {
        [self.init_containers.arrange(), self.containers.arrange()].into_iter().flatten()
    }
}

impl<'a> Arrangement<'a> {
    fn new(list: ContainerList, pod: &'a PodDocument) -> Self {
        let middle = pod.containers(list).iter().map(|container| Placed::Own(text(container, "name"))).collect();
        Self { list, first: Vec::new(), middle, last: Vec::new() }
    }

    fn new_containers(&self) -> impl Iterator<Item = &NewContainer> {
        let middle = self.middle.iter().filter_map(|placed| match placed {
            Placed::Own(_) => None,
            Placed::New(_, new) => Some(new),
        });
        self.first.iter().chain(middle).chain(&self.last)
    }

    fn new_containers_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let middle = self.middle.iter_mut().filter_map(|placed| match placed {
            Placed::Own(_) => None,
            Placed::New(_, new) => Some(new),
        });
        self.first.iter_mut().chain(middle).chain(&mut self.last).map(|new| &mut new.container)
    }

    fn own(&self, name: &str) -> Option<usize> {
        self.middle.iter().position(|placed| matches!(placed, Placed::Own(own) if *own == name))
    }

    fn before(&mut self, position: usize, new: NewContainer) {
        self.middle.insert(position, Placed::New(None, new));
    }

    /// Places a new container after the named one and those that earlier templates placed there.
    fn after(&mut self, position: usize, new: NewContainer) {
        let Placed::Own(anchor) = self.middle[position] else { return };
        let follows = |placed: &&Placed<'_>| matches!(placed, Placed::New(Some(name), _) if *name == anchor);
        let position = position + 1 + self.middle[position + 1..].iter().take_while(follows).count();
        self.middle.insert(position, Placed::New(Some(anchor), new));
    }

    fn arrange(&mut self) -> Option<Edit> {
        let pointer = Pointer::of(["spec", self.list.field()]);
        let has_own = self.middle.iter().any(|placed| matches!(placed, Placed::Own(_)));
        let first = std::mem::take(&mut self.first).into_iter().map(Some);
        let middle = std::mem::take(&mut self.middle).into_iter().map(|placed| match placed {
            Placed::Own(_) => None,
            Placed::New(_, new) => Some(new),
        });
        let last = std::mem::take(&mut self.last).into_iter().map(Some);
        let placed = first.chain(middle).chain(last).enumerate().filter_map(|(index, new)| {
            let NewContainer { container, texts, .. } = new?;
            Some(PlacedContainer { index: has_own.then_some(index), container, texts })
        });
        let containers: Vec<PlacedContainer> = placed.collect();
        (!containers.is_empty()).then_some(Edit::Place { list: pointer, containers })
    }
}
