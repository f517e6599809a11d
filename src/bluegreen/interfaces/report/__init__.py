"""The report of a deployment as a page or as text: pure functions of a ReportView. What workloads wrote is hostile."""
