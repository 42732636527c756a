"""The matrix of tasks, methods and seeds, measured against the table of the RFS paper.

settings    what a cell trains with by default; the methods; the paper's numbers
cell        one task, method, seed: its folder, and what is done in it, stage by stage
measure     figures of a policy: success, what its parts do, how much disturbance it bears
executor    cells side by side on the local cores, or on a Ray cluster
matrix      which cells are to be made, and in which order
table       results as rows, Markdown and CSV
figures     curves and intervals as PNG
html_report everything in one file, with videos
"""
