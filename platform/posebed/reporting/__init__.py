"""What people look at: the tracker's runs, pictures, tables and the report page."""
