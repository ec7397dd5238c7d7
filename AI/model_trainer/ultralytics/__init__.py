"""Everything that touches Ultralytics and torch: their callbacks, their data, their files, and what is changed in them.

No other part of the library imports them. Inside, they are imported when they are needed: importing this room is cheap.
All that is said of their code was read in Ultralytics 8.4.190.
"""
