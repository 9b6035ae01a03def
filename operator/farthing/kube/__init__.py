"""The only room that speaks to the API server: connection, watch caches, snapshots, and every write.

`client` moves JSON and turns answers into `farthing.errors`; `informer` keeps `cache`s warm; `facts` and `snapshot` reduce
them to the domain's words; `attempts` and `recorder` write, each write behind `lease`'s fence.
"""
