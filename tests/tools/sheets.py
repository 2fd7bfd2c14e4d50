# The public client `gspread` does everyday work at a double of Google, whose address is the first argument. It prints what it saw as JSON.
import json
import sys

import gspread
import requests
from google.auth.credentials import AnonymousCredentials


class ToDouble(requests.adapters.HTTPAdapter):
    """Sends what is meant for Google to the double."""

    def send(self, request, **others):
        path = request.url.split("googleapis.com", 1)[1]
        request.url = sys.argv[1] + path
        return super().send(request, **others)


session = requests.Session()
for host in ("https://sheets.googleapis.com", "https://www.googleapis.com"):
    session.mount(host, ToDouble())
client = gspread.Client(auth=AnonymousCredentials(), session=session)

book = client.open_by_key("book")
orders = book.worksheet("Orders")
seen = {"titles": [sheet.title for sheet in book.worksheets()], "records": orders.get_all_records()}
seen["appended"] = orders.append_row(["eve@example.com", "=1+1"], value_input_option="RAW")["updates"]["updatedRange"]
orders.append_rows([["f@example.com", "=1+1"]], value_input_option="USER_ENTERED", insert_data_option="INSERT_ROWS")
seen["found"] = orders.find("Grace").address
orders.update([["Augusta", 13]], "B2:C2")
orders.update_acell("D2", "FALSE")
orders.batch_update([{"range": "B3", "values": [["Rear Admiral"]]}])
orders.delete_rows(4)
orders.insert_row(["top@example.com"], 2)
seen["column"] = orders.col_values(1)
seen["row"] = orders.row_values(3)
seen["formula"] = orders.acell("B6", value_render_option="FORMULA").value
seen["unformatted"] = orders.get("C3:D3", value_render_option="UNFORMATTED_VALUE")
orders.batch_clear(["D3"])
added = book.add_worksheet("It's new", rows=10, cols=5)
added.update([["a", "b"], [1, 2]], "A1")
seen["added"] = [added.get_all_values(), added.row_count, added.col_count]
added.resize(rows=20)
seen["copied"] = book.worksheet("It's new").row_count
book.del_worksheet(added)
seen["batch"] = orders.batch_get(["A1:A2", "B1"])
seen["files"] = [file["name"] for file in client.list_spreadsheet_files()]
try:
    book.worksheet("Nope")
except gspread.WorksheetNotFound as error:
    seen["missing"] = str(error)
try:
    client.open_by_key("nope")
except gspread.SpreadsheetNotFound:
    seen["unknown"] = True
print(json.dumps(seen))
