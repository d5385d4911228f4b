"""The registry: which agents there are, kept in etcd for as long as they speak."""
