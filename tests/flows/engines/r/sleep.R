kaon_progress(0.1, "sleeping")
repeat Sys.sleep(0.2)
