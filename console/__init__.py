"""The DPO's desk: plain server-rendered pages over `lineage`; this process cannot load a model."""
