"""`turnpoint pairs ...`: one module for each way to make pairs."""
