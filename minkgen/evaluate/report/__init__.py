"""The report of a store: what it is made of (`blocks`), and how that becomes one page of HTML."""
