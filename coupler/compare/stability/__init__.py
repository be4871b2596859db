"""What linear analyses foretell of a scheme: its response, alone, with waves, with the flow."""
