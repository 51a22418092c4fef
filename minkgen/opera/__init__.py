"""Rain composites of OPERA: reading ODIM_H5 files, finding them, and making faithful ones up."""
