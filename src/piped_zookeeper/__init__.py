"""ZooKeeper: clients, shared reads with watches, locks and leaders."""

from piped.catalog.houses import House

HOUSE = House(extra="zookeeper", sections=("zookeeper",), needs=("kazoo",))
